// Package winetest is one test: what is built for Windows runs, as far as Wine can tell. It builds the programs and the tests of packages that
// have code for Windows, and runs them in a prefix of its own.
//
// Wine 8 is no Windows. It has files, handles, attributes, times to 100 ns, hard links, file ids and locks. It has no streams (a name
// with a colon is a file), symbolic links or reparse points (it says it makes some), change journals, raw volumes or faithful security
// descriptors. Without wine64 and binutils-mingw-w64-x86-64 the test is skipped.
package winetest
