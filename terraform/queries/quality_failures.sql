-- Expectations that did not hold
-- Every rule that rows broke, the newest batch first, with up to five of their keys.
SELECT q.batch_id,
       q.layer,
       q.table_name,
       q.expectation,
       q.subject,
       q.severity,
       q.unexpected,
       q.evaluated,
       array_join(q.sample_keys, ', ') AS sample_keys,
       q.validated_at
  FROM quality_result q
 WHERE NOT q.success
 ORDER BY q.batch_id DESC, q.layer, q.table_name, q.expectation, q.subject
