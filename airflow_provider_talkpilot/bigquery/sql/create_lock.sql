-- Every load changes the one row of this table, so that loads into the target run one after the other.
CREATE TABLE IF NOT EXISTS `{{ target.lock }}`
OPTIONS (description = 'Loads of TalkPilot calls change this row, one after the other.')
AS SELECT 0 AS loads;

-- A user who empties all tables empties this one too.
INSERT INTO `{{ target.lock }}` (loads)
SELECT 0 FROM (SELECT COUNT(*) AS found FROM `{{ target.lock }}`) WHERE found = 0
