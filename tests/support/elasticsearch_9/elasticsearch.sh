#!/bin/sh
# bin/elasticsearch of the 9.x that scripts/lib/common.sh puts together: the server's own launcher is not
# published. Takes from its environment what that takes: ES_JAVA_HOME, a JDK of 21 or newer, and ES_TMPDIR.
set -eu
home=$(cd "$(dirname "$0")/.." && pwd)
case $(uname -s) in Darwin) platform=darwin ;; *) platform=linux ;; esac
case $(uname -m) in arm64 | aarch64) platform=$platform-aarch64 ;; *) platform=$platform-x64 ;; esac
bridge=$(echo "$home"/lib/entitlement-bridge/*.jar)
# Of jvm.options.d, as of the real one: an option a line, and none has a blank in it.
# The library of vectors is the one native part of which 8.19's does not fit.
export LIBFFI_TMPDIR="$ES_TMPDIR"
# shellcheck disable=SC2046
exec "$ES_JAVA_HOME/bin/java" $(cat "$home"/config/jvm.options.d/*.options) \
  -XX:+UseG1GC -XX:+ExitOnOutOfMemoryError -XX:MaxDirectMemorySize=256m \
  -Djava.io.tmpdir="$ES_TMPDIR" \
  -Djava.library.path="$home/lib/platform/$platform" \
  -Dorg.elasticsearch.nativeaccess.enableVectorLibrary=false \
  -Des.path.home="$home" -Des.distribution.type=zip \
  -Dio.netty.noUnsafe=true -Dlog4j.shutdownHookEnabled=false -Dlog4j2.disable.jmx=true \
  --enable-native-access=ALL-UNNAMED,org.elasticsearch.nativeaccess,org.elasticsearch.foreign,org.apache.lucene.core \
  -XX:+EnableDynamicAgentLoading -Djdk.attach.allowAttachSelf=true \
  --patch-module=java.base="$bridge" \
  --add-exports=java.base/org.elasticsearch.entitlement.bridge=org.elasticsearch.entitlement,java.logging,java.net.http,java.naming,jdk.net,jdk.zipfs,jdk.management.agent \
  --add-opens=org.elasticsearch.server/org.elasticsearch.bootstrap=ALL-UNNAMED \
  --module-path="$home/lib" --add-modules=jdk.net,jdk.management.agent,ALL-MODULE-PATH \
  -Djdk.module.main=org.elasticsearch.server -cp "$home/launcher" Start
