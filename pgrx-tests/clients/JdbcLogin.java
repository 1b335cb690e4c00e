import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.Properties;

/** pgjdbc: ongres' SCRAM client. */
public final class JdbcLogin {
    public static void main(String[] arguments) throws SQLException {
        Properties properties = new Properties();
        properties.setProperty("user", arguments[1]);
        properties.setProperty("password", System.getenv("PASSWORD"));
        properties.setProperty("sslmode", arguments[2].equals("tls") ? "require" : "disable");
        String url = "jdbc:postgresql://127.0.0.1:" + arguments[0] + "/postgres";
        try (Connection session = DriverManager.getConnection(url, properties);
                ResultSet answer = session.createStatement().executeQuery("SELECT 42")) {
            answer.next();
            if (answer.getInt(1) != 42) {
                System.exit(2);
            }
        } catch (SQLException error) {
            if (error.getSQLState() == null || !error.getSQLState().startsWith("28")) {
                throw error;
            }
            System.exit(1);
        }
    }

    private JdbcLogin() {}
}
