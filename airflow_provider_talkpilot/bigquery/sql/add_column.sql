-- A column that a newer version of the provider has. Whoever comes second finds it there.
ALTER TABLE `{{ target }}`
ADD COLUMN IF NOT EXISTS {{ column.name }} {{ column.sql_type }}
OPTIONS (description = {{ column.description | tojson }})
