//go:build !windows

package privilege

func enable(string) bool { return false }
