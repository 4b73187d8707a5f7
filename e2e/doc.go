// Package e2e runs Sluice against a whole local cluster, under live traffic: real
// etcd, API server, istiod, Prometheus and Envoy, and clients that obey the mesh. Each
// scenario asserts the state of the world and that no request was lost, and at its
// end that every version which was ever stored kept the invariants of package
// history.
//
//	make e2e
//	make soak
//	go test -tags e2e -v ./e2e -ginkgo.focus 'bad version'
//
// SLUICE_E2E_OUTAGE sets how long the API server is away (default one minute, CI
// shortens it), SLUICE_E2E_DIR keeps the cluster's files and logs, and
// SLUICE_E2E_OPERATOR names another operator to run. SLUICE_SOAK_ROUNDS and
// SLUICE_SOAK_SEED have the soak release more often than eight times, and other
// things happen meanwhile.
package e2e
