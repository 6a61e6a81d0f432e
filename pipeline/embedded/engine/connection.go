package engine

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"unsafe"
)

// connection is one session of the engine: its own current database, settings and temporary tables.
// It runs one statement at a time; the caller serializes.
type connection struct {
	api    *api
	handle unsafe.Pointer // chdb_connection *
}

// open opens a session on the data directory. Settings (name=value) hold for this session only.
// The engine knows one directory a process: the first open boots it there.
func open(a *api, data string, args ...string) (*connection, error) {
	argv := append([]string{"clickhouse", "--path=" + data}, args...)
	var pin runtime.Pinner
	defer pin.Unpin()
	pointers := make([]unsafe.Pointer, len(argv)+1)
	for i, arg := range argv {
		if strings.IndexByte(arg, 0) >= 0 {
			return nil, fmt.Errorf("engine argument %q holds a zero byte", arg)
		}
		text := append([]byte(arg), 0)
		pin.Pin(&text[0])
		pointers[i] = unsafe.Pointer(&text[0])
	}
	pin.Pin(&pointers[0])
	handle := a.connect(int32(len(argv)), unsafe.Pointer(&pointers[0]))
	if handle == nil {
		return nil, errors.New("the engine refused the connection")
	}
	return &connection{api: a, handle: handle}, nil
}

// session is the chdb_connection that chdb_connect's result points at.
func (c *connection) session() unsafe.Pointer { return *(*unsafe.Pointer)(c.handle) }

func (c *connection) close() {
	if c.handle != nil {
		c.api.closeConn(c.handle)
		c.handle = nil
	}
}

// progress is what a statement did so far.
type progress struct {
	readRows, readBytes, writtenRows, writtenBytes, resultRows, resultBytes uint64
}

// parameter is a value bound to {name:Type} in a statement.
type parameter struct{ name, value string }

// bound holds parameters in the shape that the C interface takes, pinned until release.
type bound struct {
	pin                                runtime.Pinner
	names, values                      []unsafe.Pointer
	nameLens, valueLens                []uintptr
	pNames, pValues, pNameLen, pValLen unsafe.Pointer
}

func bind(params []parameter) *bound {
	b := &bound{}
	if len(params) == 0 {
		return b
	}
	add := func(text string) (unsafe.Pointer, uintptr) {
		data := append([]byte(text), 0)
		b.pin.Pin(&data[0])
		return unsafe.Pointer(&data[0]), uintptr(len(text))
	}
	for _, p := range params {
		name, nameLen := add(p.name)
		value, valueLen := add(p.value)
		b.names, b.nameLens = append(b.names, name), append(b.nameLens, nameLen)
		b.values, b.valueLens = append(b.values, value), append(b.valueLens, valueLen)
	}
	for _, p := range []any{&b.names[0], &b.values[0], &b.nameLens[0], &b.valueLens[0]} {
		b.pin.Pin(p)
	}
	b.pNames, b.pValues = unsafe.Pointer(&b.names[0]), unsafe.Pointer(&b.values[0])
	b.pNameLen, b.pValLen = unsafe.Pointer(&b.nameLens[0]), unsafe.Pointer(&b.valueLens[0])
	return b
}

func (b *bound) release() { b.pin.Unpin() }

// exec runs one statement to its end and returns what it printed in the given format, unless it says another.
func (c *connection) exec(sql, format string, params []parameter) ([]byte, progress, error) {
	query, formatName := []byte(sql), []byte(format)
	b := bind(params)
	defer b.release()
	result := c.api.query(c.session(), first(query), uintptr(len(query)), first(formatName), uintptr(len(formatName)),
		b.pNames, b.pNameLen, b.pValues, b.pValLen, uintptr(len(params)))
	if result == nil {
		return nil, progress{}, errNoResult
	}
	defer c.api.destroyResult(result)
	if err := c.api.errorOf(result); err != nil {
		return nil, progress{}, err
	}
	return append([]byte(nil), c.api.bytesOf(result)...), c.api.progressOf(result), nil
}

// insert is an INSERT whose data is pushed chunk by chunk.
type insert struct {
	api    *api
	handle unsafe.Pointer
}

// insert starts an INSERT. The statement ends before its FORMAT clause or VALUES; format says how the data is encoded.
func (c *connection) insert(sql, format string, params []parameter) (*insert, error) {
	query, formatName := []byte(sql), []byte(format)
	b := bind(params)
	defer b.release()
	handle := c.api.insertOpen(c.session(), first(query), uintptr(len(query)), first(formatName), uintptr(len(formatName)),
		b.pNames, b.pNameLen, b.pValues, b.pValLen, uintptr(len(params)))
	in := &insert{api: c.api, handle: handle}
	if err := in.failure(); err != nil {
		c.api.insertDestroy(handle)
		return nil, err
	}
	return in, nil
}

func (in *insert) failure() error {
	if text := goString(in.api.insertError(in.handle)); text != "" {
		return parseException(text)
	}
	return nil
}

// write pushes data, copied by the engine; it blocks while the engine is behind.
func (in *insert) write(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	if in.api.insertAppend(in.handle, first(data), uintptr(len(data))) == 0 {
		return nil
	}
	if err := in.failure(); err != nil {
		return err
	}
	return errors.New("the engine refused the data and gave no reason")
}

// commit ends the input: what was pushed is stored when it returns without error.
func (in *insert) commit() (progress, error) {
	result := in.api.insertDone(in.handle)
	defer in.api.insertDestroy(in.handle)
	if result == nil {
		return progress{}, errNoResult
	}
	defer in.api.destroyResult(result)
	if err := in.api.errorOf(result); err != nil {
		return progress{}, err
	}
	return in.api.progressOf(result), nil
}

// cancel gives the INSERT up.
func (in *insert) cancel() {
	in.api.insertCancel(in.handle)
	in.api.insertDestroy(in.handle)
}

// Classes of statements, as chdb_query_class in chdb.h.
type class uint32

const (
	classReadOnly class = iota
	classMutating
	classMutatingGlobal
	classControl
	classUnknown
)

// analysis mirrors chdb_query_analysis_v1.
type analysis struct {
	size, Statements, Flags uint32
	Class                   class
}

// classify says what a statement would do, by the engine's own parser.
func (c *connection) classify(sql string) (analysis, error) {
	out := analysis{size: uint32(unsafe.Sizeof(analysis{}))}
	query := []byte(sql)
	if c.api.classify(c.session(), first(query), uintptr(len(query)), nil, 0, unsafe.Pointer(&out)) != 0 {
		return out, errors.New("the engine can't classify statements")
	}
	return out, nil
}

func (a *api) errorOf(result unsafe.Pointer) error {
	if result == nil {
		return errNoResult
	}
	if text := goString(a.resultError(result)); text != "" {
		return parseException(text)
	}
	return nil
}

func (a *api) bytesOf(result unsafe.Pointer) []byte {
	n := a.resultLength(result)
	data := a.resultBuffer(result)
	if n == 0 || data == nil {
		return nil
	}
	return unsafe.Slice((*byte)(data), n)
}

func (a *api) progressOf(result unsafe.Pointer) progress {
	return progress{
		readRows: a.storageRows(result), readBytes: a.storageBytes(result),
		writtenRows: a.rowsWritten(result), writtenBytes: a.bytesWritten(result),
		resultRows: a.resultRows(result), resultBytes: a.resultBytes(result),
	}
}

// first is the address of data's first byte. The engine wants an address for an empty text too.
func first(data []byte) unsafe.Pointer {
	if len(data) == 0 {
		return unsafe.Pointer(&zero)
	}
	return unsafe.Pointer(&data[0])
}

var zero byte

var errNoResult = errors.New("the engine gave no result")

func goString(text unsafe.Pointer) string {
	if text == nil {
		return ""
	}
	n := 0
	for *(*byte)(unsafe.Add(text, n)) != 0 {
		n++
	}
	return string(unsafe.Slice((*byte)(text), n))
}
