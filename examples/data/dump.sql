CREATE TABLE users (id integer, name text, password_hash text);
INSERT INTO users VALUES (1, 'ada', '$2b$12$PWPkcdGB12x2FumamTRpcQL6YVdr7NmRAecPpwlMP1xdRIV7VqVKa');
INSERT INTO users VALUES (2, 'grace', NULL);
UPDATE users SET token = md5(random()::text) WHERE id = 2;
