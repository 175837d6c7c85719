#include "layeravatar/io/sha1.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>

#include "layeravatar/core/error.h"

namespace layeravatar::io {

namespace {

std::string hex_digest(std::string_view bytes, const EVP_MD* kind) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  LAV_CHECK(EVP_Digest(bytes.data(), bytes.size(), digest.data(), &length, kind, nullptr) == 1, "message digest");
  std::string out;
  for (unsigned i = 0; i < length; ++i) out += fmt::format("{:02x}", digest[i]);
  return out;
}

}  // namespace

std::string sha1_hex(std::string_view bytes) { return hex_digest(bytes, EVP_sha1()); }
std::string sha256_hex(std::string_view bytes) { return hex_digest(bytes, EVP_sha256()); }

}  // namespace layeravatar::io
