// Package addons holds the engines that Volvox ships with, one directory
// each, and no code: docs/reference/addon.md describes what is in them.
package addons

import "embed"

// FS has one directory for each engine, as addon.LoadAll reads them.
//
//go:embed all:*
var FS embed.FS
