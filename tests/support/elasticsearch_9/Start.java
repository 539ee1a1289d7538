import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.io.SequenceInputStream;
import java.nio.file.Path;
import java.util.Map;
import org.elasticsearch.bootstrap.ServerArgs;
import org.elasticsearch.common.bytes.BytesReference;
import org.elasticsearch.common.io.stream.BytesStreamOutput;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.KeyStoreWrapper;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.node.InternalSettingsPreparer;

/**
 * Starts the server in this process, as the launcher of a distribution would in another: the server
 * reads its arguments from its standard input, and stops when that ends.
 */
public final class Start {
    private Start() {}

    public static void main(String[] unused) throws Exception {
        LogConfigurator.configureESLogging();
        Path home = Path.of(System.getProperty("es.path.home"));
        Environment environment = InternalSettingsPreparer.prepareEnvironment(
            Settings.builder().put("path.home", home.toString()).build(), Map.of(), home.resolve("config"), () -> "one");
        BytesStreamOutput arguments = new BytesStreamOutput();
        new ServerArgs(
            false, false, null, KeyStoreWrapper.create(), environment.settings(), environment.configDir(), environment.logsDir()
        ).writeTo(arguments);
        InputStream first = new ByteArrayInputStream(BytesReference.toBytes(arguments.bytes()));
        System.setIn(new SequenceInputStream(first, new Endless()));
        var main = Class.forName("org.elasticsearch.bootstrap.Elasticsearch").getDeclaredMethod("main", String[].class);
        main.setAccessible(true);
        main.invoke(null, (Object) new String[0]);
    }

    /** Has nothing to read, and does not end. */
    private static final class Endless extends InputStream {
        @Override
        public int read() {
            try {
                Thread.sleep(Long.MAX_VALUE);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            return -1;
        }
    }
}
