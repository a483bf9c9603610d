// Package privilege uses the rights that an administrator's process on Windows has, and has to ask for.
package privilege

// Enable has the process use a privilege, such as "SeBackupPrivilege". It returns false if it hasn't got it; other systems than Windows know of none.
func Enable(name string) bool { return enable(name) }
