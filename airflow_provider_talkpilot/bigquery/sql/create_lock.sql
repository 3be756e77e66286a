-- The table whose one row every load changes, so that loads into the target wait for each other.
CREATE TABLE IF NOT EXISTS `{{ target.lock }}`
OPTIONS (description = 'Loads of TalkPilot calls change this row, one after the other.')
AS SELECT 0 AS loads
