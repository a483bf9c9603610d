// Package deps is one test: which package may import which. The table in
// deps_test.go is the policy. To import something new, change the design, then the table, in a commit that
// says why.
package deps
