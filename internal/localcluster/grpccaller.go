package localcluster

import (
	"context"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
)

// grpcCaller is a proxyless client of the mesh.
type grpcCaller struct {
	conn    *grpc.ClientConn
	headers map[string]string
}

func newGRPCCaller(xdsAddr, ip string, o *TrafficOptions) (*grpcCaller, error) {
	builder, err := xdsResolver(xdsAddr, ip, o.Name, o.Namespace)
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient(o.Target,
		grpc.WithResolvers(builder),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDisableRetry(), // a request that fails must be seen to fail
		grpc.WithNoProxy(),
	)
	if err != nil {
		return nil, err
	}
	return &grpcCaller{conn: conn, headers: o.Headers}, nil
}

// call makes one request. grpc-go puts new routes into force before the balancer
// that they lead to: a request that is begun in between, when a destination gets its
// first weight, is failed by the client itself and never sent. No proxy does that,
// and it says nothing of the service, so the request is begun again.
func (c *grpcCaller) call(ctx context.Context) outcome {
	for {
		o := c.try(ctx)
		if !o.neverSent() {
			return o
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return o
		}
	}
}

// neverSent reports whether the client failed a request for want of the balancer
// that its route leads to.
func (o outcome) neverSent() bool {
	return !o.reached && o.code == codes.Unavailable && strings.HasPrefix(o.message, "unknown cluster selected for RPC: ")
}

func (c *grpcCaller) try(ctx context.Context) outcome {
	for key, value := range c.headers {
		ctx = metadata.AppendToOutgoingContext(ctx, key, value)
	}
	var (
		answer  structpb.Struct
		trailer metadata.MD
	)
	began := time.Now()
	err := c.conn.Invoke(ctx, DemoMethod, &emptypb.Empty{}, &answer, grpc.Trailer(&trailer))
	ended := time.Now()
	s := status.Convert(err)
	o := outcome{at: ended, took: ended.Sub(began), code: s.Code(), message: s.Message()}
	o.identify(firstOf(trailer))
	return o
}

// firstOf reads a value by its key, "" if there is none.
func firstOf(md metadata.MD) func(key string) string {
	return func(key string) string {
		if v := md.Get(key); len(v) > 0 {
			return v[0]
		}
		return ""
	}
}

func (c *grpcCaller) close() { _ = c.conn.Close() }
