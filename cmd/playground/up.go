package main

import "context"

func runUp(context.Context, options) error { return nil }
