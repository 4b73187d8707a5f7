// Package config_test holds what the manifests in this folder promise: the least
// permissions, restricted pods, small CustomResourceDefinitions, samples that an
// API server accepts.
package config_test
