package main

import (
	"context"

	"waybill/seed"
)

func serialOf(string) string { return "" }

func (a *app) testDisks(context.Context, *seed.Options, *seedFlags) error { return nil }
