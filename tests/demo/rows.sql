-- The rows of one organization, into fresh tables (ids are the row numbers from 1). Reads four settings:
--     demo.org       whose members write and watch
--     demo.canary    a word for every name, answer and detail, so that any leak can be grepped
--     demo.plios, demo.sessions   how many
-- Deterministic, updated_at apart: every choice is a hash of a row number, hashint8extended(n, seed) & mask.

INSERT INTO image (url, alt_text, width, height)
SELECT 'https://images.example.org/' || n || '.png', 'figure ' || n || ' ' || current_setting('demo.canary'),
       640, 360
FROM generate_series(1, (current_setting('demo.plios')::bigint + 3) / 4) AS n;

INSERT INTO video (url, title, duration, created_at)
SELECT 'https://videos.example.org/watch/' || substr(md5(current_setting('demo.org') || n), 1, 11),
       'Film ' || n || ' ' || current_setting('demo.canary'), 120 + (hashint8extended(n, 31) & 1023),
       timestamptz '2024-01-08 05:00+00' + n * interval '5 hours'
FROM generate_series(1, current_setting('demo.plios')::bigint) AS n;

-- Plio 3 is the lesson that was handed round: the same uuid in every organization.
WITH member AS (
    SELECT array_agg(user_id ORDER BY user_id) AS ids
    FROM organization_user JOIN organization ON organization.id = organization_id
    WHERE short_code = current_setting('demo.org')
)
INSERT INTO plio (uuid, name, video_id, status, is_public, config, created_by, created_at, deleted_at)
SELECT translate(left(md5(CASE WHEN n = 3 THEN 'handed round' ELSE current_setting('demo.org') || n END), 10),
                 '0123456789', 'ghijklmnop'),
       (ARRAY['Fractions', 'Photosynthesis', 'Forces', 'Rivers of India', 'Prime numbers', 'Acids and bases',
              'Poetry', 'The cell'])[1 + (hashint8extended(n, 32) & 1023) % 8]
           || ' ' || n || ' ' || current_setting('demo.canary'),
       n, CASE WHEN n % 10 = 9 THEN 'draft' ELSE 'published' END, n % 7 > 0,
       '{"skip_enabled": true}', member.ids[1 + (hashint8extended(n, 33) & 1048575) % cardinality(member.ids)],
       timestamptz '2024-01-08 06:00+00' + n * interval '5 hours',
       CASE WHEN n % 50 = 49 THEN timestamptz '2025-06-02 08:00+00' END
FROM generate_series(1, current_setting('demo.plios')::bigint) AS n, member;

INSERT INTO item (plio_id, type, time, meta, created_at)
SELECT plio.id, CASE WHEN (hashint8extended(plio.id * 8 + k, 34) & 1023) % 12 = 0 THEN 'note' ELSE 'question' END,
       round(k * 100.0 / 8, 2), '{"source": {"name": "default"}}', plio.created_at
FROM plio, LATERAL generate_series(1, 4 + plio.id % 3) AS k;

INSERT INTO question (item_id, type, text, options, correct_answer, survey, image_id, created_at)
SELECT item.id, kind, 'Question ' || item.id || '? ' || current_setting('demo.canary'),
       CASE WHEN kind <> 'subjective' THEN '["one", "two", "three", "four"]'::jsonb END,
       CASE kind WHEN 'mcq' THEN to_jsonb(item.id % 4) WHEN 'checkbox' THEN '[0, 2]'::jsonb END,
       item.id % 25 = 0, CASE WHEN item.id % 20 = 0 THEN 1 + item.id % ((current_setting('demo.plios')::bigint + 3) / 4) END,
       item.created_at
FROM item, LATERAL (SELECT (ARRAY['mcq', 'mcq', 'checkbox', 'subjective'])[1 + item.id % 4] AS kind) AS k
WHERE item.type = 'question'
ORDER BY item.id;

WITH owner AS (SELECT min(created_by) AS id FROM plio HAVING count(*) > 0)
INSERT INTO program (name, description, starts_on, ends_on, created_by)
SELECT 'Programme ' || n || ' ' || current_setting('demo.canary'), 'plios in an order', date '2024-04-01' + 7 * n::int,
       date '2025-03-31' + 7 * n::int, owner.id
FROM owner, generate_series(1, (current_setting('demo.plios')::bigint + 19) / 20) AS n;

INSERT INTO program_plio (program_id, plio_id, position)
SELECT 1 + (id - 1) / 20, id, 1 + (id - 1) % 20 FROM plio;

INSERT INTO experiment (name, description, created_by)
SELECT 'Experiment ' || id || ' ' || current_setting('demo.canary'), 'two films for one lesson', created_by
FROM plio WHERE id % 25 = 1;

INSERT INTO experiment_plio (experiment_id, plio_id, split_percentage)
SELECT experiment.id, plio.id, 50
FROM experiment JOIN plio ON plio.id BETWEEN 25 * experiment.id - 24 AND 25 * experiment.id - 23;

INSERT INTO tag (name)
SELECT name || ' ' || current_setting('demo.canary')
FROM unnest(ARRAY['class 6', 'class 7', 'class 8', 'maths', 'science', 'english', 'revision']) AS name
WHERE current_setting('demo.plios')::bigint > 0;

INSERT INTO model_has_tag (tag_id, model, model_id)
SELECT 1 + (id + k) % 7, 'plio', id FROM plio, generate_series(0, 1) AS k
UNION ALL
SELECT 1 + id % 7, 'program', id FROM program;

-- A few plios are watched by many, most by few: the cube of a uniform number.
WITH member AS (
    SELECT array_agg(user_id ORDER BY user_id) AS ids
    FROM organization_user JOIN organization ON organization.id = organization_id
    WHERE short_code = current_setting('demo.org')
), draw AS (
    SELECT n,
           1 + floor(current_setting('demo.plios')::bigint
                     * power((hashint8extended(n, 35) & 1048575) / 1048576.0::float8, 3))::bigint AS plio_id,
           ids[1 + (hashint8extended(n, 36) & 1048575) % cardinality(ids)] AS user_id,
           hashint8extended(n, 37) & 1023 AS minutes
    FROM generate_series(1, current_setting('demo.sessions')::bigint) AS n, member
)
INSERT INTO session (plio_id, user_id, experiment_id, retention, watch_time, is_first, created_at)
SELECT plio_id, user_id, CASE WHEN plio_id % 25 IN (1, 2) THEN 1 + plio_id / 25 END,
       CASE WHEN n % 40 = 0 THEN 'NaN' ELSE rtrim(repeat('1,', 1 + (minutes % 9)::int), ',') END,
       minutes * 1.25, row_number() OVER (PARTITION BY user_id, plio_id ORDER BY n) = 1,
       timestamptz '2024-07-01 03:30+00' + n * interval '7 minutes'
FROM draw
ORDER BY n;

INSERT INTO session_answer (session_id, item_id, answer, created_at)
SELECT session.id, item.id,
       CASE item.id % 4 WHEN 3 THEN jsonb_build_object('text', 'my answer ' || current_setting('demo.canary'))
            ELSE jsonb_build_object('choice', (hashint8extended(session.id * 8 + item.nth, 38) & 1023) % 4,
                                    'canary', current_setting('demo.canary')) END,
       session.created_at + item.nth * interval '40 seconds'
FROM session
JOIN (SELECT id, plio_id, row_number() OVER (PARTITION BY plio_id ORDER BY id) AS nth FROM item) AS item
    ON item.plio_id = session.plio_id AND item.nth <= 4
ORDER BY session.id, item.nth;

-- 25 events a session on average: an odd session gets as many more as the even one after it gets fewer.
INSERT INTO event (session_id, type, player_time, details, created_at)
SELECT session.id,
       CASE k WHEN 1 THEN 'ready' WHEN 2 THEN 'played' ELSE
           (ARRAY['watching', 'watching', 'watching', 'watching', 'exit_fullscreen', 'paused', 'played', 'item_opened',
                  'option_selected', 'question_answered', 'question_proceed', 'question_skipped',
                  'question_revised', 'video_seeking', 'video_seeked', 'enter_fullscreen'])
           [1 + (hashint8extended(session.id * 64 + k, 39) & 15)] END,
       2 * k, detail.canary, session.created_at + k * interval '2 seconds'
FROM session,
     LATERAL generate_series(1, 25 + (CASE session.id % 2 WHEN 1 THEN 1 ELSE -1 END)
                                * (hashint8extended((session.id + 1) / 2, 40) & 15)) AS k,
     (SELECT jsonb_build_object('canary', current_setting('demo.canary')) AS canary) AS detail;
