-- Payments due
-- What is to be paid, from today on, by day, kind of payment and counterparty, each currency by itself. Today is UTC's.
SELECT p.payment_date,
       k.payment_type_name,
       b.counterparty_legal_name AS counterparty,
       c.currency_code,
       count(*) AS payments,
       sum(p.payment_amount) AS amount
  FROM fact_payment_current p
  JOIN dim_payment_type k ON k.payment_type_id = p.payment_type_id
  JOIN dim_counterparty b ON b.counterparty_id = p.counterparty_id
  JOIN dim_currency c ON c.currency_id = p.currency_id
 WHERE NOT p.paid
   AND p.payment_date >= current_date
 GROUP BY p.payment_date, k.payment_type_name, b.counterparty_legal_name, c.currency_code
 ORDER BY p.payment_date, k.payment_type_name, counterparty, c.currency_code
