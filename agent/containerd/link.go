package containerd

import (
	"context"
	"fmt"
	"sync"
	"time"

	containersapi "github.com/containerd/containerd/api/services/containers/v1"
	eventsapi "github.com/containerd/containerd/api/services/events/v1"
	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	versionapi "github.com/containerd/containerd/api/services/version/v1"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/emptypb"
)

// link is a connection to one containerd process. It ends with the process:
// calls in flight fail then, and the next containerd has another link. Its
// services return errors that errdefs knows.
type link struct {
	pid        int // of containerd
	conn       *grpc.ClientConn
	containers containersapi.ContainersClient
	tasks      tasksapi.TasksClient
	events     eventsapi.EventsClient
	version    versionapi.VersionClient

	once sync.Once
	lost chan struct{} // closed by close
}

// dial connects, in the background, to a process's socket and names the namespace in
// every call.
func dial(pid int, socket, ns string) (*link, error) {
	named := func(ctx context.Context) context.Context {
		return metadata.AppendToOutgoingContext(ctx, "containerd-namespace", ns)
	}
	conn, err := grpc.NewClient("unix:"+socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{
			MinConnectTimeout: 5 * time.Second,
			Backoff:           backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 200 * time.Millisecond},
		}),
		grpc.WithUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			// containerd is told when we give up, but not a deadline: it would
			// fail a call by its clock, before ours says why.
			told, cancel := context.WithCancel(context.WithoutCancel(ctx))
			defer cancel()
			defer context.AfterFunc(ctx, cancel)()
			return errgrpc.ToNative(invoke(named(told), method, req, reply, cc, opts...))
		}),
		grpc.WithStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, stream grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			return stream(named(ctx), desc, cc, method, opts...)
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("connect to containerd: %w", err)
	}
	return &link{
		pid:        pid,
		conn:       conn,
		containers: containersapi.NewContainersClient(conn),
		tasks:      tasksapi.NewTasksClient(conn),
		events:     eventsapi.NewEventsClient(conn),
		version:    versionapi.NewVersionClient(conn),
		lost:       make(chan struct{}),
	}, nil
}

// ask returns when containerd has answered a question, waiting for it to
// listen.
func (l *link) ask(ctx context.Context) error {
	_, err := l.version.Version(ctx, &emptypb.Empty{}, grpc.WaitForReady(true))
	return err
}

func (l *link) close() {
	l.once.Do(func() {
		close(l.lost)
		l.conn.Close()
	})
}

// lostBy says whether a call failed because containerd was lost in it: what
// the call asked for may have been done or not.
func (l *link) lostBy(err error) bool {
	select {
	case <-l.lost:
		return true
	default:
		return errdefs.IsUnavailable(err)
	}
}

// pause waits until the link's end is known, or a moment if it has not ended.
// It fails when it is past until.
func (l *link) pause(ctx context.Context, cause error, until time.Time) error {
	if time.Now().After(until) {
		return unavailable(cause)
	}
	select {
	case <-l.lost:
		return nil
	case <-time.After(100 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
