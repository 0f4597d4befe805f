<?php
// Configuration of the old shop.
return [
    'db' => [
        'dsn' => 'mysql://legacy:vnU6IJQTMDblpzOJ@sql.shop.invalid/legacy',
        'user' => 'legacy',
    ],
    'mailchimp' => 'f00e21d15a35d54644682eee6b74f40d-us14',
    'password' => 'L0w-ClrvMXhP1VXfr6!',
    'password_min_length' => 12,
    'csrf_token_name' => 'csrf_token_for_the_shop',
];
