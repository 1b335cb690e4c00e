import java.security.MessageDigest;
import org.apache.kafka.common.security.scram.ScramCredential;
import org.apache.kafka.common.security.scram.internals.ScramCredentialUtils;
import org.apache.kafka.common.security.scram.internals.ScramFormatter;
import org.apache.kafka.common.security.scram.internals.ScramMechanism;

/** Kafka: makes a credential, or checks one as a broker would. */
public final class KafkaCredential {
    public static void main(String[] arguments) throws Exception {
        ScramFormatter formatter = new ScramFormatter(ScramMechanism.forMechanismName(arguments[1]));
        String password = System.getenv("PASSWORD");
        if (arguments[0].equals("make")) {
            int iterations = Integer.parseInt(arguments[2]);
            System.out.println(ScramCredentialUtils.credentialToString(formatter.generateCredential(password, iterations)));
            return;
        }
        ScramCredential credential = ScramCredentialUtils.credentialFromString(arguments[2]);
        byte[] salted = formatter.saltedPassword(password, credential.salt(), credential.iterations());
        boolean matches = MessageDigest.isEqual(formatter.storedKey(formatter.clientKey(salted)), credential.storedKey())
                && MessageDigest.isEqual(formatter.serverKey(salted), credential.serverKey());
        System.exit(matches ? 0 : 1);
    }

    private KafkaCredential() {}
}
