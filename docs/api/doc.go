// Package api is the description of the local API, in the form of OpenAPI 3.1. It
// is made from the handlers of package internal/api: a test says when it is not
// current, and how to make it so.
package api

import _ "embed"

// OpenAPI is the description.
//
//go:embed openapi.json
var OpenAPI []byte
