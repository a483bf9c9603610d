package pack

import (
	"bytes"
	"os"
	"strconv"
	"time"
)

// processorTimes reads how long the machine's processors have idled and worked since it started, from
// the first line of /proc/stat (proc(5)): user nice system idle iowait irq softirq steal, in ticks of 10 ms.
func processorTimes() (idle, busy time.Duration) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	fields := bytes.Fields(line)
	if len(fields) < 9 {
		return 0, 0
	}
	for i, f := range fields[1:9] {
		ticks, err := strconv.ParseInt(string(f), 10, 64)
		if err != nil {
			return 0, 0
		}
		if d := time.Duration(ticks) * 10 * time.Millisecond; i == 3 || i == 4 {
			idle += d
		} else {
			busy += d
		}
	}
	return idle, busy
}
