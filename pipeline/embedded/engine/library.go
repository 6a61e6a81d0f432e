package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// LibraryEnv names the environment variable that says where the engine library is. It wins over every other place.
const LibraryEnv = "WHENCE_ENGINE_LIB"

// ErrLibraryMissing is wrapped by every error that says the engine library is not installed.
var ErrLibraryMissing = errors.New("the ClickHouse engine library is not installed (hint: run `make engine`, " +
	"or point " + LibraryEnv + " at libchdb.so)")

// packages maps GOOS/GOARCH to the npm package that carries the library.
var packages = map[string]string{
	"linux/amd64":  "lib-linux-x64-gnu",
	"linux/arm64":  "lib-linux-arm64-gnu",
	"darwin/arm64": "lib-darwin-arm64",
	"darwin/amd64": "lib-darwin-x64",
}

// FindLibrary returns the path of the engine library: $WHENCE_ENGINE_LIB, else deploy/engine/node_modules below
// the working directory or one of its parents, else below the executable's directory or one of its parents.
// The error wraps [ErrLibraryMissing] when it is in none of them.
func FindLibrary() (string, error) {
	if path := os.Getenv(LibraryEnv); path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("%s: %w: %w", LibraryEnv, err, ErrLibraryMissing)
		}
		return path, nil
	}
	platform := runtime.GOOS + "/" + runtime.GOARCH
	pkg, ok := packages[platform]
	if !ok {
		return "", fmt.Errorf("no engine library is published for %s: use a ClickHouse server (--clickhouse)", platform)
	}
	var starts []string
	if dir, err := os.Getwd(); err == nil {
		starts = append(starts, dir)
	}
	if exe, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(exe); err == nil {
			exe = real
		}
		starts = append(starts, filepath.Dir(exe))
	}
	tail := filepath.Join("deploy", "engine", "node_modules", "@chdb", pkg, "libchdb.so")
	for _, dir := range starts {
		for {
			path := filepath.Join(dir, tail)
			if _, err := os.Stat(path); err == nil {
				return path, nil
			} else if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
				return "", fmt.Errorf("engine library: %w", err)
			}
			parent := filepath.Dir(dir)
			if parent == dir {
				break
			}
			dir = parent
		}
	}
	return "", ErrLibraryMissing
}

// api is the part of libchdb's C interface that the server calls (chdb.h of chdb-core 26.7).
// Handles are opaque pointers into the engine's memory.
type api struct {
	version        func() string
	signalHandlers func(enabled int32)
	connect        func(argc int32, argv unsafe.Pointer) unsafe.Pointer
	closeConn      func(conn unsafe.Pointer)
	query          func(conn, sql unsafe.Pointer, sqlLen uintptr, format unsafe.Pointer, formatLen uintptr, names, nameLens, values, valueLens unsafe.Pointer, n uintptr) unsafe.Pointer
	destroyResult  func(result unsafe.Pointer)
	insertOpen     func(conn, sql unsafe.Pointer, sqlLen uintptr, format unsafe.Pointer, formatLen uintptr, names, nameLens, values, valueLens unsafe.Pointer, n uintptr) unsafe.Pointer
	insertAppend   func(stream, data unsafe.Pointer, n uintptr) int32
	insertDone     func(stream unsafe.Pointer) unsafe.Pointer
	insertCancel   func(stream unsafe.Pointer)
	insertError    func(stream unsafe.Pointer) unsafe.Pointer
	insertDestroy  func(stream unsafe.Pointer)
	resultBuffer   func(result unsafe.Pointer) unsafe.Pointer
	resultLength   func(result unsafe.Pointer) uintptr
	resultError    func(result unsafe.Pointer) unsafe.Pointer
	resultRows     func(result unsafe.Pointer) uint64
	resultBytes    func(result unsafe.Pointer) uint64
	storageRows    func(result unsafe.Pointer) uint64
	storageBytes   func(result unsafe.Pointer) uint64
	rowsWritten    func(result unsafe.Pointer) uint64
	bytesWritten   func(result unsafe.Pointer) uint64
	classify       func(conn, sql unsafe.Pointer, sqlLen uintptr, database unsafe.Pointer, databaseLen uintptr, out unsafe.Pointer) int32
}

// load binds the library once a process. Nothing happens before the first call, so that a binary with the engine
// compiled in starts without the library (chdb-go, in contrast, panics in init).
var load = sync.OnceValues(func() (*api, error) {
	path, err := FindLibrary()
	if err != nil {
		return nil, err
	}
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("engine library %s: %w (hint: `make engine` installs it anew)", path, err)
	}
	var a api
	for name, fn := range map[string]any{
		"chdb_version":                     &a.version,
		"chdb_set_signal_handlers_enabled": &a.signalHandlers,
		"chdb_connect":                     &a.connect,
		"chdb_close_conn":                  &a.closeConn,
		"chdb_query_with_params_n":         &a.query,
		"chdb_destroy_query_result":        &a.destroyResult,
		"chdb_stream_insert_with_params_n": &a.insertOpen,
		"chdb_stream_append":               &a.insertAppend,
		"chdb_stream_done":                 &a.insertDone,
		"chdb_stream_cancel_insert":        &a.insertCancel,
		"chdb_stream_insert_error":         &a.insertError,
		"chdb_destroy_insert_stream":       &a.insertDestroy,
		"chdb_result_buffer":               &a.resultBuffer,
		"chdb_result_length":               &a.resultLength,
		"chdb_result_error":                &a.resultError,
		"chdb_result_rows_read":            &a.resultRows,
		"chdb_result_bytes_read":           &a.resultBytes,
		"chdb_result_storage_rows_read":    &a.storageRows,
		"chdb_result_storage_bytes_read":   &a.storageBytes,
		"chdb_result_rows_written":         &a.rowsWritten,
		"chdb_result_bytes_written":        &a.bytesWritten,
		"chdb_classify_query_n":            &a.classify,
	} {
		symbol, err := purego.Dlsym(handle, name)
		if err != nil {
			return nil, fmt.Errorf("engine library %s has no %s: it is another version (hint: `make engine`): %w", path, name, err)
		}
		purego.RegisterFunc(fn, symbol)
	}
	// The Go runtime owns the process's signals; the engine's handlers would take SIGTERM and SIGSEGV from it.
	a.signalHandlers(0)
	return &a, nil
})
