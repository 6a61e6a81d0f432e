// @clickhouse/client against the engine: node client_test.mjs HOST PORT CUT_PORT DATABASE.
//
// CUT_PORT leads to the same engine through a proxy that breaks every connection off in the middle of a large upload.
// Exits with 0 when everything holds.
import { createClient } from '@clickhouse/client'
import { Readable } from 'node:stream'
import { isDeepStrictEqual } from 'node:util'

const [host, port, cutPort, database] = process.argv.slice(2)
const connect = (options = {}, to = port) =>
  createClient({ url: `http://${host}:${to}`, database, log: { level: 127 }, ...options })

function check(what, ok, saw) {
  if (!ok) {
    console.error('FAILED:', what, saw ?? '')
    process.exit(1)
  }
  console.log('ok:', what)
}
const rowsOf = async (client, query, more = {}) => (await client.query({ query, format: 'JSONEachRow', ...more })).json()

const client = connect()
const ping = await client.ping()
check('connects and pings', ping.success, ping.error)

await client.command({
  query: `CREATE TABLE types (id UInt64, tags Map(LowCardinality(String), String), list Array(String),
    service LowCardinality(String), at DateTime64(3, 'UTC'), version UInt128, maybe Nullable(Float64)) ENGINE = MergeTree ORDER BY id`,
})
check('lists tables', isDeepStrictEqual(await rowsOf(client, 'SHOW TABLES'), [{ name: 'types' }]))

const rows = Array.from({ length: 5000 }, (_, i) => ({
  id: String(i), tags: { k: String(i) }, list: ['a', String(i)], service: `s${i % 7}`, at: '2026-11-23 12:34:56.789',
  version: '340282366920938463463374607431768211455', maybe: i % 2 ? null : i / 2,
}))
for (const on of [false, true]) {
  const c = connect({ compression: { request: on, response: on } })
  await c.command({ query: 'TRUNCATE TABLE types' })
  const inserted = await c.insert({ table: 'types', values: rows, format: 'JSONEachRow' })
  check(`inserts (gzip ${on}) and learns how much`, inserted.summary?.written_rows === '5000', inserted.summary)
  const got = await rowsOf(c, 'SELECT * FROM types WHERE id >= {low:UInt64} AND service IN {of:Array(String)} ORDER BY id', {
    query_params: { low: 10, of: ['s1', 's2'] },
    clickhouse_settings: { output_format_json_quote_64bit_integers: 1 },
  })
  const want = rows.filter((r) => Number(r.id) >= 10 && ['s1', 's2'].includes(r.service))
  check(`selects typed rows with parameters (gzip ${on})`,
    isDeepStrictEqual(got.map((r) => ({ ...r, version: String(r.version) })), want), got[0])
  const json = await (await c.query({ query: 'SELECT count() AS n FROM types', format: 'JSON' })).json()
  check(`reads JSON with its statistics (gzip ${on})`, Number(json.data[0].n) === 5000 && json.rows === 1)
}

try {
  await client.query({ query: 'SELECT nope FROM types' })
  check('an error is raised', false)
} catch (error) {
  check('an error has its code and type', error.code === '47' && error.type === 'UNKNOWN_IDENTIFIER', error)
}

await client.command({
  query: 'CREATE TABLE cut (id UInt64, v String) ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 100',
})
let seed = 1n
const random = () => (seed = (seed * 6364136223846793005n + 1442695040888963407n) % 2n ** 64n).toString(16)
const large = Array.from({ length: 100000 }, (_, i) => ({ id: i, v: random() + random() }))
const insert = (c, values) =>
  c.insert({ table: 'cut', values, format: 'JSONEachRow', clickhouse_settings: { insert_deduplication_token: 'batch-1' } })
const count = async () => Number((await rowsOf(client, 'SELECT count() AS n FROM cut'))[0].n)
for (const request of [false, true]) {
  let failed = false
  const c = connect({ compression: { request } }, cutPort)
  try {
    await insert(c, large)
  } catch {
    failed = true
  }
  await c.close()
  check(`an insert cut off (gzip ${request}) fails and stores nothing`, failed && (await count()) === 0)
}
{
  let failed = false
  const c = connect()
  try {
    await insert(c, Readable.from((function* () {
      yield* large.slice(0, 50000)
      throw new Error('the source is gone')
    })(), { objectMode: true }))
  } catch {
    failed = true
  }
  await c.close()
  check('an insert whose source fails stores nothing', failed && (await count()) === 0)
}
for (let i = 0; i < 2; i++) await insert(client, large)
check('the retry under the same token stores the whole, once', (await count()) === 100000)

for (const response of [false, true]) {
  const c = connect({ compression: { response } })
  const result = await c.query({ query: 'SELECT number, number * 2 AS twice FROM numbers(10000000)', format: 'CSV' })
  let n = 0
  for await (const chunk of result.stream()) n += chunk.length
  check(`streams ten million rows (gzip ${response})`, n === 10000000, n)
  await c.close()
}

let seen = false
try {
  const result = await client.query({ query: 'SELECT throwIf(number = 3000000) FROM numbers(4000000)', format: 'CSV' })
  for await (const _ of result.stream());
} catch {
  seen = true
}
check('an error in mid-stream is seen', seen)
await client.close()
process.exit(0)
