// Package openapi describes the local API in the form of OpenAPI 3.1: routes from the
// table of package api, schemas from its Go types, texts from their doc comments. So
// the description cannot say anything that the handlers do not do.
//
// The result is docs/api/openapi.json, which the node serves. After a change:
//
//	go test ./internal/api/openapi -update
package openapi
