-- A column that was narrower in an older version of the provider. Its values stay, and to do it
-- again changes nothing.
ALTER TABLE `{{ target }}`
ALTER COLUMN {{ column.name }} SET DATA TYPE {{ column.sql_type }}
