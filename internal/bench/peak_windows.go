package main

import "os"

// peak isn't known on Windows once a process has ended.
func peak(*os.ProcessState) int64 { return 0 }
