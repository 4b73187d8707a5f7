// Package crd holds Sluice's CustomResourceDefinitions, as they are installed.
package crd

import "embed"

// Files are the definitions, a YAML file each.
//
//go:embed sluice.dev_*.yaml
var Files embed.FS
