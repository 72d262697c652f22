-- Deleted source rows
-- Every time that a source row was found missing, or found back, the newest first, and whether it is missing still.
SELECT d.table_name,
       d.record_id,
       CASE WHEN d.is_deleted THEN 'deleted' ELSE 'back' END AS found,
       d.found_at,
       d.batch_id,
       m.record_id IS NOT NULL AS is_missing_now
  FROM deleted_record d
  LEFT JOIN missing m ON m.table_name = d.table_name AND m.record_id = d.record_id
 ORDER BY d.batch_id DESC, d.table_name, d.record_id
