-- Add a column of a newer version of the provider. Two loads may do it at once.
ALTER TABLE `{{ target }}`
ADD COLUMN IF NOT EXISTS {{ column.name }} {{ column.sql_type }}
OPTIONS (description = {{ column.description | tojson }})
