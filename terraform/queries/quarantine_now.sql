-- Rows in quarantine
-- Every source row that is set aside now, and why; those that wait come in by themselves when another row does.
SELECT q.table_name,
       q.record_id,
       array_join(q.reasons, '; ') AS reasons,
       q.waits,
       q.found_at,
       q.batch_id
  FROM quarantine_current q
 ORDER BY q.table_name, q.record_id
