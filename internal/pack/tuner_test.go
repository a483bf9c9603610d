package pack

import (
	"testing"
	"time"
)

func TestTunerFollowsTheBottleneck(t *testing.T) {
	tune := newTuner(Auto)
	var idle, busy time.Duration
	look := func(di, db int) Level {
		idle, busy = idle+time.Duration(di)*time.Second, busy+time.Duration(db)*time.Second
		tune.look(idle, busy)
		return tune.level()
	}
	tune.idle, tune.busy = 0, 0
	tune.next = time.Now().Add(time.Hour) // the test looks, not the clock
	for i, step := range []struct {
		idle, busy int
		want       Level
	}{
		{0, 10, Fastest}, // the processors are the bottleneck from the start
		{6, 4, Default},  // the disk or the line is
		{8, 2, Better},
		{9, 1, Better}, // as high as it goes by itself
		{3, 7, Better}, // in between: stay
		{0, 10, Default},
		{0, 0, Default}, // the system told nothing
		{0, 10, Fastest},
	} {
		if got := look(step.idle, step.busy); got != step.want {
			t.Errorf("step %d: level %d, want %d", i, got, step.want)
		}
	}
}

func TestTunerKeepsWhatIsGiven(t *testing.T) {
	for l := Fastest; l <= Best; l++ {
		if got := newTuner(l).level(); got != l {
			t.Errorf("level %d became %d", l, got)
		}
	}
}

func TestProcessorTimesGoForward(t *testing.T) {
	idle, busy := processorTimes()
	if idle == 0 && busy == 0 {
		t.Skip("this system does not tell how busy its processors are")
	}
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if i, b := processorTimes(); i+b > idle+busy {
			return
		}
	}
	t.Error("no processor time went by in five seconds")
}
