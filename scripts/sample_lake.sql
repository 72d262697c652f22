-- A lake of a few rows, for docs/queries.md and for tests: two batches, the second of which edited order 100,
-- found order 102 deleted and design 8 back, set order 103 aside, and brought payment 72, which the first set aside.

INSERT INTO sample.dim_currency VALUES (1, 'GBP', 'Pound Sterling', 1), (2, 'EUR', 'Euro', 1);

INSERT INTO sample.dim_staff VALUES
    (5, 'Ada', 'Okoye', 'Sales', 'Leeds', 'ada@example.com', 1),
    (6, 'Jan', 'Nowak', 'Purchasing', 'Leeds', 'jan@example.com', 1);

INSERT INTO sample.dim_design VALUES
    (8, 'Steel Mug', '/usr', 'mug.json', 2),
    (9, 'Wooden Chair', '/usr', 'chair.json', 1);

INSERT INTO sample.dim_location VALUES (3, '1 High Street', NULL, NULL, 'Leeds', 'LS1', 'United Kingdom', '0113', 1);

INSERT INTO sample.dim_counterparty VALUES
    (2, 'Acme Ltd', '1 High Street', NULL, NULL, 'Leeds', 'LS1', 'United Kingdom', '0113', 1),
    (4, 'Dupont SA', '2 rue Haute', NULL, NULL, 'Lyon', '69001', 'France', '0478', 1);

INSERT INTO sample.dim_payment_type VALUES (1, 'SALES_RECEIPT', 1), (3, 'PURCHASE_PAYMENT', 1);

INSERT INTO sample.dim_transaction VALUES
    (40, 'SALE', 100, NULL, 1), (41, 'SALE', 101, NULL, 1), (42, 'PURCHASE', NULL, 300, 2);

INSERT INTO sample.fact_sales_order VALUES
    (100, '2024-03-01', '09:30:00.000000', '2024-03-01', '09:30:00.000000', 5, 2, 7, 361.39, 1, 9,
        '2024-03-08', '2024-03-06', 3, 1),
    (100, '2024-03-01', '09:30:00.000000', '2024-03-02', '11:00:00.500000', 5, 2, 8, 361.39, 1, 9,
        '2024-03-08', '2024-03-06', 3, 2),
    (101, '2024-03-02', '10:15:00.000000', '2024-03-02', '10:15:00.000000', 5, 4, 20, 4.50, 2, 8,
        '2024-03-20', '2024-03-06', 3, 2),
    (102, '2024-03-01', '12:00:00.000000', '2024-03-01', '12:00:00.000000', 5, 2, 1, 99.00, 1, 9,
        '2024-03-08', '2024-03-06', 3, 1),
    (104, '2024-03-01', '15:45:00.000000', '2024-03-01', '15:45:00.000000', 6, 4, 2, 350.00, 1, 9,
        '2024-03-08', '2024-03-06', 3, 1);

INSERT INTO sample.fact_purchase_order VALUES
    (300, '2024-03-01', '08:00:00.000000', '2024-03-01', '08:00:00.000000', 6, 4, 'OAK-01', 50, 12.2500, 2,
        '2024-03-05', '2024-03-15', 3, 1);

INSERT INTO sample.fact_payment VALUES
    (70, '2024-03-01', '09:30:00.000000', '2024-03-02', '11:00:00.500000', 40, 2, 2891.1200, 1, 1, false,
        '2024-03-08', 2),
    (71, '2024-03-02', '10:15:00.000000', '2024-03-02', '10:15:00.000000', 41, 4, 90.0000, 2, 1, false,
        '2024-03-20', 2),
    (72, '2024-03-01', '08:00:00.000000', '2024-03-01', '08:00:00.000000', 42, 4, 612.5000, 2, 3, false,
        '2024-03-15', 2);

INSERT INTO sample.deleted_record VALUES
    ('design', 8, true, '2024-03-01 18:00:00', 1),
    ('design', 8, false, '2024-03-02 18:00:00', 2),
    ('sales_order', 102, true, '2024-03-02 18:00:00', 2);

INSERT INTO sample.quarantine VALUES
    ('payment', 72, true, true, ['transaction_id must be in transaction.transaction_id: 42 is in quarantine'],
        '{"payment_id": 72}', '2024-03-01 18:00:00', 1),
    ('payment', 72, false, false, ['came in'], NULL, '2024-03-02 18:00:00', 2),
    ('sales_order', 103, true, false, ['units_sold must be 0 or more: found ''-1'''], '{"sales_order_id": 103}',
        '2024-03-02 18:00:00', 2);

INSERT INTO sample.quality_result VALUES
    ('raw', 'sales_order', 'not_null', 'sales_order_id', 'warning', true, 3, 0, [], 0.8, '2024-03-01 18:00:10', 1),
    ('star', 'fact_sales_order', 'unique', 'sales_order_id, batch_id', 'critical', true, 3, 0, [], 0.6,
        '2024-03-01 18:00:40', 1),
    ('raw', 'sales_order', 'not_null', 'sales_order_id', 'warning', true, 3, 0, [], 0.7, '2024-03-02 18:00:10', 2),
    ('raw', 'sales_order', 'minimum', 'units_sold', 'warning', false, 3, 1, ['103'], 0.7, '2024-03-02 18:00:10', 2),
    ('star', 'fact_sales_order', 'unique', 'sales_order_id, batch_id', 'critical', true, 2, 0, [], 0.5,
        '2024-03-02 18:00:40', 2);
