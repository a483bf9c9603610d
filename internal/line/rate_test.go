package line

import "testing"

func TestParseRate(t *testing.T) {
	for s, want := range map[string]float64{"100Mbit": 1e8, "100 Mbit/s": 1e8, "1.5Gbps": 1.5e9, "10Mb": 1e7, "12MB": 96e6, "12MB/s": 96e6, "1MiB/s": 8 << 20,
		"512kbit": 512e3, "800bit": 800, "1TB": 8e12,
		"": -1, "100": -1, "Mbit": -1, "-1Mbit": -1, "0Mbit": -1, "NaNMbit": -1, "1e300Mbit": -1, "5Xbit": -1, "5M": -1, "5mbit": -1, "5 Mbit x": -1} {
		got, err := ParseRate(s)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("%q: %g, %v", s, got, err)
		}
	}
	for bits, want := range map[float64]string{0: "0 bit/s", 940e6: "940 Mbit/s", 1.234e9: "1.23 Gbit/s", 999.7e3: "1 Mbit/s", 5e17: "5e+05 Tbit/s"} {
		if got := FormatRate(bits); got != want {
			t.Errorf("%g: %q", bits, got)
		}
	}
}

func TestParseHours(t *testing.T) {
	for s, want := range map[string]int{"": 24, "20:00-06:00": 10, "8-18": 10, "00:00-24:00": 24, "22:30-23:30": 1, " 9:00 - 17:00 ": 8,
		"20:00": -1, "a-b": -1, "25:00-1": -1, "1:60-2": -1, "24:01-2": -1, "-": -1} {
		h, err := ParseHours(s)
		got := h.Length() / 3600
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("%q: %v, %v", s, h, err)
		}
	}
}
