-- How often each minute of the span had been touched before its rows are read: one that is touched meanwhile is another.
CREATE OR REPLACE TABLE whence_oracle.touched ENGINE = Memory AS
SELECT service, environment, minute, sumWithOverflow(touches.touch) AS touch, sum(touches.rows) AS rows
FROM whence_state.touches
WHERE service != '' AND fromUnixTimestamp64Milli({start}, 'UTC') <= minute AND minute < fromUnixTimestamp64Milli({end}, 'UTC')
    AND cityHash64(service, environment, toStartOfMinute(minute)) % 1000000 < {share}
GROUP BY service, environment, minute;
