import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.file.Path;
import org.neo4j.cli.AdminTool;
import org.neo4j.cli.ExecutionContext;
import org.neo4j.dbms.api.DatabaseManagementService;
import org.neo4j.dbms.api.DatabaseManagementServiceBuilder;

/** {@code serve HOME} is the server; {@code set-password HOME} reads a password, which must not be an argument, from stdin. */
public final class Launcher {
    public static void main(String[] args) throws Exception {
        Path home = Path.of(args[1]);
        Path conf = home.resolve("conf");
        if (args[0].equals("set-password")) {
            String password = new BufferedReader(new InputStreamReader(System.in)).readLine();
            System.exit(AdminTool.execute(new ExecutionContext(home, conf), "dbms", "set-initial-password", password));
        }
        DatabaseManagementService server =
                new DatabaseManagementServiceBuilder(home).loadPropertiesFromFile(conf.resolve("neo4j.conf")).build();
        Runtime.getRuntime().addShutdownHook(new Thread(server::shutdown));
        Thread.currentThread().join();
    }
}
