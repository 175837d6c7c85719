#include "layeravatar/io/pickle_text.h"

#include <charconv>

namespace layeravatar::io {
namespace {
bool is_surrogate(std::uint32_t code) { return code >= 0xD800 && code <= 0xDFFF; }

void append_utf8(std::string& out, std::uint32_t code) {
  const auto put = [&out](std::uint32_t byte) { out += static_cast<char>(byte); };
  const auto tail = [&](unsigned shift) { put(0x80U | ((code >> shift) & 0x3FU)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0U | (code >> 6U));
    tail(0);
  } else if (code < 0x10000) {
    put(0xE0U | (code >> 12U));
    tail(6);
    tail(0);
  } else {
    put(0xF0U | (code >> 18U));
    tail(12);
    tail(6);
    tail(0);
  }
}

std::optional<std::uint32_t> number(std::string_view text, std::size_t pos, std::size_t digits, int base) {
  if (pos > text.size() || text.size() - pos < digits) return std::nullopt;
  std::uint32_t value = 0;
  const char* const end = text.data() + pos + digits;
  const auto [next, error] = std::from_chars(text.data() + pos, end, value, base);
  if (error != std::errc() || next != end) return std::nullopt;
  return value;
}
}  // namespace

bool is_utf8(std::string_view bytes) {
  std::size_t i = 0;
  while (i < bytes.size()) {
    const auto first = static_cast<unsigned char>(bytes[i]);
    const std::size_t length = first < 0x80 ? 1 : first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
    if (length == 0 || bytes.size() - i < length) return false;
    std::uint32_t code = length == 1 ? first : first & (0x7FU >> length);
    for (std::size_t k = 1; k < length; ++k) {
      const auto next = static_cast<unsigned char>(bytes[i + k]);
      if ((next & 0xC0U) != 0x80U) return false;
      code = (code << 6U) | (next & 0x3FU);
    }
    if (is_surrogate(code) || code > 0x10FFFF || (length == 3 && code < 0x800) || (length == 4 && code < 0x10000)) return false;
    i += length;
  }
  return true;
}

std::string utf8_from_latin1(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (const char c : bytes) append_utf8(out, static_cast<unsigned char>(c));
  return out;
}

std::optional<std::string> latin1_from_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto first = static_cast<unsigned char>(text[i]);
    if (first < 0x80) {
      out += text[i];
      continue;
    }
    if (first > 0xC3 || ++i == text.size()) return std::nullopt;  // C2 and C3 begin U+0080 to U+00FF
    out += static_cast<char>(((first & 0x03U) << 6U) | (static_cast<unsigned char>(text[i]) & 0x3FU));
  }
  return out;
}

std::optional<std::string> unescape_string(std::string_view quoted) {
  if (quoted.size() < 2 || (quoted.front() != '\'' && quoted.front() != '"') || quoted.back() != quoted.front()) return std::nullopt;
  const std::string_view body = quoted.substr(1, quoted.size() - 2);
  static constexpr std::string_view kLetters = "\\'\"abfnrtv";
  static constexpr std::string_view kMeanings = "\\'\"\a\b\f\n\r\t\v";
  std::string out;
  for (std::size_t i = 0; i < body.size(); ++i) {
    if (body[i] != '\\') {
      out += body[i];
      continue;
    }
    if (++i == body.size()) return std::nullopt;
    if (const auto letter = kLetters.find(body[i]); letter != std::string_view::npos) {
      out += kMeanings[letter];
    } else if (body[i] == 'x') {
      const auto value = number(body, i + 1, 2, 16);
      if (!value) return std::nullopt;
      out += static_cast<char>(*value);
      i += 2;
    } else if (body[i] >= '0' && body[i] <= '7') {
      std::size_t digits = 1;
      while (digits < 3 && i + digits < body.size() && body[i + digits] >= '0' && body[i + digits] <= '7') ++digits;
      out += static_cast<char>(*number(body, i, digits, 8));
      i += digits - 1;
    } else {  // Python keeps a backslash that begins no escape
      out += '\\';
      out += body[i];
    }
  }
  return out;
}

std::optional<std::string> unescape_unicode(std::string_view line) {
  std::string out;
  std::uint32_t high = 0;  // the first half of a pair of surrogates
  for (std::size_t i = 0; i < line.size(); ++i) {
    std::uint32_t code = static_cast<unsigned char>(line[i]);
    const char next = i + 1 < line.size() ? line[i + 1] : '\0';
    if (code == '\\' && (next == 'u' || next == 'U')) {
      const std::size_t digits = next == 'u' ? 4 : 8;
      const auto value = number(line, i + 2, digits, 16);
      if (!value || *value > 0x10FFFF) return std::nullopt;
      code = *value;
      i += digits + 1;
    } else if (code == '\\' && next == '\\') {  // an even backslash begins no escape
      if (high != 0) return std::nullopt;
      out += '\\';
      ++i;
    }
    if (high != 0) {
      if (code < 0xDC00 || code > 0xDFFF) return std::nullopt;
      code = 0x10000U + ((high - 0xD800U) << 10U) + (code - 0xDC00U);
      high = 0;
    } else if (code >= 0xD800 && code <= 0xDBFF) {
      high = code;
      continue;
    }
    if (is_surrogate(code)) return std::nullopt;
    append_utf8(out, code);
  }
  return high == 0 ? std::optional<std::string>(out) : std::nullopt;
}

}  // namespace layeravatar::io
