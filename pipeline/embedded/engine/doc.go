// Package engine runs ClickHouse as a library behind ClickHouse's own HTTP interface, in a process of its own.
//
// A parent starts it and talks to it as to a server:
//
//	child, err := engine.Start(ctx, engine.ChildConfig{Data: "data/clickhouse", Listen: "127.0.0.1:8123"})
//	// clickhouse-go, clickhouse-connect, JDBC, curl: http://child.Addr()/
//	child.Stop()
//
// The child is the same binary. Its side is `whence engine --data D --listen H:P`:
//
//	ctx, parent := engine.WatchParent(ctx)
//	err := engine.Run(ctx, engine.Config{Data: d, Listen: hp, Logger: log, Ready: parent.Ready})
//	parent.Failed(err)
//
// What is guaranteed:
//   - An insert whose body does not arrive whole stores nothing, and its retry under the same
//     insert_deduplication_token stores the whole. An insert that was acknowledged survives kill -9 (not a power cut:
//     that needs fsync_after_insert). One that was killed may leave its token behind without its rows, as with any
//     plain MergeTree: its retry is dropped and acknowledged, so who retries looks whether the rows are there.
//   - A result is streamed, never held; one that fails half-way breaks the response. A client that goes away takes its
//     statement with it.
//   - A request's settings, current database and parameters hold for it alone, unless it names a session.
//   - The child dies with its parent, is started anew on the same address when it crashes, and stops within five seconds.
//   - A merge that finds the disk full costs no rows: the engine ends then, and a start takes again what was merged. On
//     the full disk it answers queries and merges nothing. Alone, without a parent, it needs somebody who starts it.
//
// libchdb.so is bound by purego (no cgo) when it is first needed; importing the package does nothing. [FindLibrary]
// says where it is looked for.
//
// # Security
//
// The engine has no access control and reads whatever its process can, so the server parses each statement with the
// engine's own parser first. Refused are INTO OUTFILE and FROM INFILE, and, unless [Config.AllowOutside], what reaches
// outside the engine: table functions, functions, table and database engines, dictionary sources, disks and settings
// that name files or other hosts. What a new version of the library brings counts as outside until it is listed here.
// Without a password the engine listens on loopback only and answers no web page but a local one's.
// A view that a privileged user makes over something outside is open to read-only users, as any view is.
package engine
