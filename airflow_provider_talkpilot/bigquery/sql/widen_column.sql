-- Widen a column of an older version of the provider. Its values stay; a second time changes
-- nothing.
ALTER TABLE `{{ target }}`
ALTER COLUMN {{ column.name }} SET DATA TYPE {{ column.sql_type }}
