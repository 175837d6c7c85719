#include "layeravatar/io/sha1.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>

#include "layeravatar/core/error.h"

namespace layeravatar::io {

std::string sha1_hex(std::string_view bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  LAV_CHECK(EVP_Digest(bytes.data(), bytes.size(), digest.data(), &length, EVP_sha1(), nullptr) == 1, "SHA-1");
  std::string out;
  for (unsigned i = 0; i < length; ++i) out += fmt::format("{:02x}", digest[i]);
  return out;
}

}  // namespace layeravatar::io
