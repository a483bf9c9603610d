package machine

import (
	"errors"
	"path/filepath"
)

// An Environment is what the place of a state depends on.
type Environment struct {
	GOOS   string
	Root   bool // the user may do anything
	Getenv func(string) string
}

// DefaultDir is where a machine's state is when nobody says otherwise: WAYBILL_STATE, else
// /var/lib/waybill for root, else waybill in the XDG state directory; ProgramData\Waybill on Windows.
func DefaultDir(env Environment) (string, error) {
	if dir := env.Getenv("WAYBILL_STATE"); dir != "" {
		return dir, nil
	}
	switch {
	case env.GOOS == "windows":
		if dir := env.Getenv("ProgramData"); dir != "" {
			return filepath.Join(dir, "Waybill"), nil
		}
	case env.Root:
		return "/var/lib/waybill", nil
	case filepath.IsAbs(env.Getenv("XDG_STATE_HOME")): // relative ones are to be ignored, says the specification
		return filepath.Join(env.Getenv("XDG_STATE_HOME"), "waybill"), nil
	case env.Getenv("HOME") != "":
		return filepath.Join(env.Getenv("HOME"), ".local", "state", "waybill"), nil
	}
	return "", errors.New("nothing says where this machine's state is: neither WAYBILL_STATE nor a home directory is set")
}
