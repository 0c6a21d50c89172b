-- The 40 organizations of the demo and the people in them. Everything follows from hashes of row numbers,
-- so each run gives the same rows. config.demo is the plan that the loader follows: how many plios and
-- sessions each organization gets; an event count is 25 times the sessions.

INSERT INTO organization (name, short_code, config, created_at)
SELECT initcap(replace(code, '-', ' ')) || ' ' || suffix, code,
       jsonb_build_object('size', size, 'demo', jsonb_build_object('plios', plios, 'sessions', sessions)),
       timestamptz '2022-04-04 09:00+00' + n * interval '17 days'
FROM (
    SELECT n, code, 'large' AS size, 'Foundation' AS suffix, 2000 AS plios, 20000 AS sessions
    FROM unnest(ARRAY['lighthouse', 'riverdale']) WITH ORDINALITY AS large (code, n)
    UNION ALL
    SELECT 10 + n, code, 'medium', 'Schools', 120 + 40 * n, 1200 + 280 * n
    FROM unnest(ARRAY['banyan', 'cedar', 'monsoon', 'saffron', 'northstar', 'harbour', 'meridian', 'juniper'])
         WITH ORDINALITY AS medium (code, n)
    UNION ALL
    SELECT 20 + n, code, 'small', 'Academy', 5 + (hashint8extended(n, 1) & 1023) % 46, 20 + 8 * n
    FROM unnest(ARRAY['acorn', 'alpine', 'aurora', 'bluebell', 'brook', 'canyon', 'compass', 'coral', 'delta',
                      'ember', 'fern', 'glacier', 'heron', 'ivory', 'jasmine', 'kestrel', 'lotus', 'maple',
                      'nimbus', 'orchid', 'pebble', 'quartz', 'new-horizons', '2nd-chance'])
         WITH ORDINALITY AS small (code, n)
    UNION ALL
    VALUES (50, 'personal', 'personal', 'Workspaces', 50, 150),
           (51, 'sundial', 'suspended', 'College', 20, 100),
           (52, 'driftwood', 'drift', 'College', 20, 100),
           (53, 'willow', 'empty', 'Institute', 0, 0),
           (54, 'yarrow', 'empty', 'Institute', 0, 0),
           (55, 'zephyr', 'empty', 'Institute', 0, 0)
) AS plan
ORDER BY n;

INSERT INTO organization_key
SELECT id, left(md5('key of ' || short_code), 20), created_at FROM organization;

INSERT INTO users (email, mobile, first_name, last_name, password_hash, created_at)
SELECT CASE WHEN n % 3 > 0 THEN 'user' || n || '@example.org' END,
       CASE WHEN n % 3 = 0 THEN '+91' || 7000000000 + n END,
       (ARRAY['Asha', 'Ravi', 'Meera', 'Imran', 'Divya', 'John', 'Lakshmi', 'Arjun', 'Fatima', 'Kabir', 'Neha',
              'Tenzin'])[1 + (hashint8extended(n, 11) & 1023) % 12],
       (ARRAY['Rao', 'Khan', 'Sharma', 'Das', 'Nair', 'Patel', 'Singh', 'Bose', 'Pillai', 'Gomes', 'Yadav'])
              [1 + (hashint8extended(n, 12) & 1023) % 11],
       md5('password of ' || n),
       timestamptz '2023-01-02 04:00+00' + n * interval '2 hours'
FROM generate_series(1, 6000) AS n;

INSERT INTO user_meta (user_id, language, last_seen)
SELECT id, (ARRAY['en', 'hi', 'ta', 'mr', 'bn'])[1 + (hashint8extended(id, 13) & 1023) % 5],
       created_at + (hashint8extended(id, 14) & 511) * interval '1 day'
FROM users;

-- Everybody has one organization, by the weight of its size; one in twenty has a second, some a third.
-- The first 120 users see to it that no organization is without three people.
WITH weight AS (
    SELECT id, sum(CASE config ->> 'size' WHEN 'large' THEN 250 WHEN 'medium' THEN 50 WHEN 'personal' THEN 50
                   WHEN 'empty' THEN 1 ELSE 6 END) OVER (ORDER BY id) AS upto
    FROM organization
), ladder AS (
    SELECT array_agg(upto::bigint ORDER BY id) AS steps, max(upto)::bigint AS total FROM weight
), membership AS (
    SELECT users.id AS user_id, nth,
           CASE WHEN users.id <= 120 AND nth = 1 THEN (users.id - 1) % 40 + 1
                ELSE 1 + width_bucket((hashint8extended(users.id, 20 + nth) & 1048575) % total, steps)
           END AS organization_id
    FROM users, ladder, generate_series(1, 3) AS nth
    WHERE nth = 1 OR (hashint8extended(users.id, 15) & 1023) % 18 = 0 AND (nth = 2 OR users.id % 4 = 0)
)
INSERT INTO organization_user (organization_id, user_id, role_id, is_owner)
SELECT organization_id, user_id, CASE WHEN user_id <= 40 THEN 1 WHEN user_id <= 120 THEN 2 ELSE 3 END,
       user_id <= 40
FROM membership
ORDER BY user_id, nth
ON CONFLICT (organization_id, user_id) DO NOTHING;

INSERT INTO one_time_password (mobile, code_hash, expires_at, used_at)
SELECT mobile, md5('code of ' || id), created_at + interval '5 minutes', created_at + interval '1 minute'
FROM users WHERE mobile IS NOT NULL AND id % 10 = 0;

INSERT INTO access_token (user_id, token_hash, expires_at)
SELECT id, md5('token of ' || id), created_at + interval '1000 days' FROM users WHERE id % 5 = 0;
