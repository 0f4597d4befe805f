package invalid.shop;

/** Talks to the payment service. */
final class Client {
    private static final String SHOPIFY = "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";
    private static final String JDBC = "jdbc:postgresql://db.shop.invalid/shop?user=svc&password=2gB0qEjwwLoZtRI4";
    private static final String PASSWORD_KEY = "shop.client.password.key";
    private static final long serialVersionUID = 8683452581122892189L;

    private Client() {}
}
