-- Payments overdue
-- Every payment that should have been made before today (UTC's) and was not, with the order that it is for.
SELECT date_diff('day', p.payment_date, current_date) AS days_overdue,
       p.payment_date,
       p.payment_id,
       k.payment_type_name,
       b.counterparty_legal_name AS counterparty,
       p.payment_amount AS amount,
       c.currency_code,
       t.sales_order_id,
       t.purchase_order_id
  FROM fact_payment_current p
  JOIN dim_transaction t ON t.transaction_id = p.transaction_id
  JOIN dim_payment_type k ON k.payment_type_id = p.payment_type_id
  JOIN dim_counterparty b ON b.counterparty_id = p.counterparty_id
  JOIN dim_currency c ON c.currency_id = p.currency_id
 WHERE NOT p.paid
   AND p.payment_date < current_date
 ORDER BY p.payment_date, p.payment_id
