// clickhouse-jdbc against the engine: java -cp 'JARS/*' ClientTest.java HOST PORT CUT_PORT DATABASE.
//
// CUT_PORT leads to the same engine through a proxy that breaks every connection off in the middle of a large upload.
// Exits with 0 when everything holds.

import java.math.BigInteger;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;

public class ClientTest {
    static String host, port, cutPort, database;

    static Connection connect(String to, String... options) throws SQLException {
        Properties p = new Properties();
        for (int i = 0; i < options.length; i += 2) p.setProperty(options[i], options[i + 1]);
        return DriverManager.getConnection("jdbc:clickhouse://" + host + ":" + to + "/" + database, p);
    }

    static void check(String what, boolean ok) {
        if (!ok) {
            System.err.println("FAILED: " + what);
            System.exit(1);
        }
        System.out.println("ok: " + what);
    }

    static void fill(Connection c, String token, int rows) throws SQLException {
        Random random = new Random(1);
        String settings = token == null ? "" : " SETTINGS insert_deduplication_token = '" + token + "'";
        try (PreparedStatement s = c.prepareStatement("INSERT INTO cut (id, v)" + settings + " VALUES (?, ?)")) {
            for (int i = 0; i < rows; i++) {
                s.setLong(1, i);
                s.setString(2, Long.toHexString(random.nextLong()) + Long.toHexString(random.nextLong()));
                s.addBatch();
            }
            s.executeBatch();
        }
    }

    static long count(Statement s, String sql) throws SQLException {
        try (ResultSet r = s.executeQuery(sql)) {
            r.next();
            return r.getLong(1);
        }
    }

    public static void main(String[] args) throws Exception {
        host = args[0];
        port = args[1];
        cutPort = args[2];
        database = args[3];
        try (Connection c = connect(port); Statement s = c.createStatement()) {
            check("connects and knows the version", c.getMetaData().getDatabaseProductVersion().startsWith("26.7."));
            s.execute("CREATE TABLE types (id UInt64, tags Map(LowCardinality(String), String), list Array(String), service LowCardinality(String), "
                + "at DateTime64(3, 'UTC'), version UInt128, maybe Nullable(Float64)) ENGINE = MergeTree ORDER BY id");
            List<String> tables = new ArrayList<>();
            try (ResultSet r = c.getMetaData().getTables(null, database, "%", null)) {
                while (r.next()) tables.add(r.getString("TABLE_NAME"));
            }
            check("lists tables", tables.equals(List.of("types")));
            List<String> columns = new ArrayList<>();
            try (ResultSet r = c.getMetaData().getColumns(null, database, "types", "%")) {
                while (r.next()) columns.add(r.getString("COLUMN_NAME"));
            }
            check("lists columns", columns.equals(List.of("id", "tags", "list", "service", "at", "version", "maybe")));
            try (PreparedStatement p = c.prepareStatement("INSERT INTO types (id, service, maybe) VALUES (?, ?, ?)")) {
                for (int i = 0; i < 100; i++) {
                    p.setLong(1, i);
                    p.setString(2, "it's s" + i % 7);
                    if (i % 2 == 0) p.setDouble(3, i / 2.0); else p.setNull(3, java.sql.Types.DOUBLE);
                    p.addBatch();
                }
                p.executeBatch();
            }
            int one = s.executeUpdate("INSERT INTO types VALUES (1000, map('k', 'v'), ['a', 'b'], 'x', '2026-11-23 12:34:56.789', "
                + "340282366920938463463374607431768211455, 1.5)");
            check("an update says how many rows it wrote", one == 1);
            try (PreparedStatement p = c.prepareStatement("SELECT id, service, maybe FROM types WHERE service = ? AND id > ? ORDER BY id")) {
                p.setString(1, "it's s3");
                p.setLong(2, 3);
                int n = 0;
                try (ResultSet r = p.executeQuery()) {
                    while (r.next()) {
                        long id = r.getLong("id");
                        r.getDouble("maybe");
                        if (!(id % 7 == 3 && id > 3 && r.wasNull() == (id % 2 == 1))) check("row " + id, false);
                        n++;
                    }
                }
                check("selects typed rows with parameters", n == 13);
            }
            try (ResultSet r = s.executeQuery("SELECT * FROM types WHERE id = 1000")) {
                check("there is the row", r.next());
                check("map", r.getObject("tags").equals(Map.of("k", "v")));
                check("array", Arrays.equals((Object[]) r.getArray("list").getArray(), new Object[] {"a", "b"}));
                check("128 bits", r.getObject("version").equals(new BigInteger("340282366920938463463374607431768211455")));
                check("time", r.getTimestamp("at").toInstant().toString().equals("2026-11-23T12:34:56.789Z"));
            }
            try (ResultSet r = s.executeQuery("SELECT id FROM types WHERE id = 5000000")) {
                check("no rows", !r.next());
            }
            try {
                s.executeQuery("SELECT nope FROM types");
                check("an error is raised", false);
            } catch (SQLException e) {
                check("an error has its code: " + e.getErrorCode(), e.getErrorCode() == 47 || e.getMessage().contains("Code: 47"));
            }

            s.execute("CREATE TABLE cut (id UInt64, v String) ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 100");
            for (String compress : List.of("false", "true")) {
                try (Connection cut = connect(cutPort, "compress", "true", "decompress", compress)) {
                    fill(cut, "batch-1", 100000);
                    check("an insert cut off fails", false);
                } catch (SQLException e) {
                    check("an insert cut off (compressed " + compress + ") fails", true);
                }
                check("and stores nothing", count(s, "SELECT count() FROM cut") == 0);
            }
            for (int i = 0; i < 2; i++) fill(c, "batch-1", 100000);
            check("the retry under the same token stores the whole, once", count(s, "SELECT count() FROM cut") == 100000);
        }
        String[][] ways = {
            {"compress", "true"}, {"compress", "true", "client.use_http_compression", "true"},
        };
        for (String[] way : ways) {
            try (Connection c = connect(port, way); Statement s = c.createStatement();
                 ResultSet r = s.executeQuery("SELECT number, number * 2 AS twice FROM numbers(10000000)")) {
                long n = 0, sum = 0;
                while (r.next()) {
                    n++;
                    sum += r.getLong(1);
                }
                check("streams ten million rows " + Arrays.toString(way), n == 10000000 && sum == 10000000L * 9999999 / 2);
            }
        }
        try (Connection c = connect(port); Statement s = c.createStatement();
             ResultSet r = s.executeQuery("SELECT throwIf(number = 3000000) FROM numbers(4000000)")) {
            while (r.next()) {}
            check("an error in mid-stream is seen", false);
        } catch (SQLException e) {
            check("an error in mid-stream is seen", true);
        }
    }
}
