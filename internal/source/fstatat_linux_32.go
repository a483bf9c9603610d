//go:build linux && (386 || arm || mips || mipsle || ppc)

package source

import "golang.org/x/sys/unix"

const sysFstatat = unix.SYS_FSTATAT64
