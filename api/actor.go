package api

import (
	"context"
	"net"
	"os/user"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/volvox-os/volvox"
)

// withPeer puts who is at the other end of a unix socket into the context of
// its requests: "user:NAME", as the machine's kernel vouches for.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return volvox.WithActor(ctx, "user:unknown")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return volvox.WithActor(ctx, "user:unknown")
	}
	actor := volvox.Actor("user:unknown")
	raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil {
			return
		}
		uid := strconv.FormatUint(uint64(cred.Uid), 10)
		actor = volvox.Actor("user:" + uid)
		if who, err := user.LookupId(uid); err == nil {
			actor = volvox.Actor("user:" + who.Username)
		}
	})
	return volvox.WithActor(ctx, actor)
}
