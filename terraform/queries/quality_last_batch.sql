-- Quality of the last batch
-- What the gates found of each table of the newest batch that they judged: expectations, and how many did not hold.
SELECT q.batch_id,
       q.layer,
       q.table_name,
       count(*) AS expectations,
       count_if(NOT q.success AND q.severity = 'critical') AS critical_not_met,
       count_if(NOT q.success AND q.severity = 'warning') AS warning_not_met,
       count_if(NOT q.success AND q.severity = 'info') AS info_not_met,
       max(q.validated_at) AS validated_at
  FROM quality_result q
 WHERE q.batch_id = (SELECT max(batch_id) FROM quality_result)
 GROUP BY q.batch_id, q.layer, q.table_name
 ORDER BY q.layer, q.table_name
