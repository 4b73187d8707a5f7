package localcluster

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	corev1 "k8s.io/api/core/v1"
)

// podServer serves a pod's app on the pod's address: HTTP on ports whose name
// begins with "http", as the mesh understands such names, and gRPC on all others.
type podServer struct {
	grpc *grpc.Server
	http *http.Server
}

// servePod listens on every TCP port the pod's containers declare; a pod
// without any serves nothing.
func servePod(pod *corev1.Pod, ip string, b Behaviour, slow *slowdowns) (*podServer, error) {
	app, err := newDemoServer(pod, b, slow)
	if err != nil {
		return nil, err
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s := &podServer{
		grpc: grpc.NewServer(),
		http: &http.Server{Handler: app, Protocols: &protocols, ReadHeaderTimeout: 10 * time.Second},
	}
	s.grpc.RegisterService(&demoService, app)
	ports := tcpPorts(pod)
	listeners := make([]net.Listener, 0, len(ports))
	for _, port := range ports {
		l, err := net.Listen("tcp", net.JoinHostPort(ip, strconv.Itoa(int(port.ContainerPort))))
		if err != nil {
			for _, l := range listeners {
				_ = l.Close()
			}
			return nil, fmt.Errorf("listen for pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
		listeners = append(listeners, l)
	}
	for i, l := range listeners {
		serve := s.grpc.Serve
		if strings.HasPrefix(ports[i].Name, "http") {
			serve = s.http.Serve
		}
		go func() { _ = serve(l) }() // ends with stop or drain
	}
	return s, nil
}

func tcpPorts(pod *corev1.Pod) []corev1.ContainerPort {
	var found []corev1.ContainerPort
	for i := range pod.Spec.Containers {
		for _, p := range pod.Spec.Containers[i].Ports {
			if p.Protocol == "" || p.Protocol == corev1.ProtocolTCP {
				found = append(found, p)
			}
		}
	}
	return found
}

// drain lets requests in flight finish, for at most the given time.
func (s *podServer) drain(limit time.Duration) {
	timer := time.AfterFunc(limit, s.stop)
	defer timer.Stop()
	var both sync.WaitGroup
	both.Go(s.grpc.GracefulStop)
	// It ends when stop closes what is left.
	both.Go(func() { _ = s.http.Shutdown(context.Background()) })
	both.Wait()
}

// stop cuts every connection.
func (s *podServer) stop() {
	s.grpc.Stop()
	_ = s.http.Close()
}

// ServeHTTP answers as the gRPC method does: the same answer, as JSON, the same
// faults, and headers in place of trailers.
func (s *demoServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, 1<<20)); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fail, err := s.respond(r.Context())
	if err != nil {
		return // whoever asked is gone
	}
	if fail {
		setHeaders(w.Header(), s.injected)
		http.Error(w, injectedMessage, http.StatusInternalServerError)
		return
	}
	answer, err := json.Marshal(s.answer.AsMap())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	setHeaders(w.Header(), s.identity)
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(answer)
}

func setHeaders(h http.Header, md metadata.MD) {
	for key, values := range md {
		for _, v := range values {
			h.Add(key, v)
		}
	}
}
