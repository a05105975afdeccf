// Corruption that lasts for microseconds, while this process does not look: for tests of whoever reads its memory.
#include <cstring>

#include "func.h"
#include "work.h"

namespace standin {

namespace {

uint64_t random_state = 1;

uint64_t draw() {
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

struct Piece {
	char* at;
	size_t size;
};

// Something that a pointer, a length or a kind may turn into.
uint64_t nonsense(const std::vector<Piece>& pieces) {
	switch ( draw() % 8 ) {
		case 0: return 0;
		case 1: return UINT64_MAX;
		case 2: return draw();
		case 3: return draw() >> 17; // a user space address, mostly of nothing
		case 4: return 1 + draw() % 4096;
		case 5: return uint64_t(1) << draw() % 64;
		default: { // into another piece, on its first byte or not
			const Piece& p = pieces[draw() % pieces.size()];
			return uint64_t(p.at) + (draw() % 2 ? draw() % p.size : 0);
		}
	}
}

template<typename T>
void add(std::vector<Piece>& pieces, T* object, size_t size = sizeof(T)) {
	if ( object && size >= 8 )
		pieces.push_back({reinterpret_cast<char*>(const_cast<std::remove_const_t<T>*>(object)), size});
}

std::vector<Piece> what_is_read() {
	std::vector<Piece> pieces;
	auto& stack = zeek::detail::call_stack;
	add(pieces, &stack);
	add(pieces, stack.data(), stack.size() * sizeof(zeek::detail::CallInfo));
#if ZEEK_ERA == 1
	add(pieces, &g_frame_stack);
	add(pieces, g_frame_stack.data(), g_frame_stack.size() * sizeof(zeek::detail::Frame*));
	for ( auto* frame : g_frame_stack )
		add(pieces, frame);
	for ( auto& entry : stack )
		add(pieces, entry.func);
#else
	for ( auto& entry : stack ) {
		add(pieces, entry.frame);
		add(pieces, entry.frame->function);
	}
#endif
	return pieces;
}

} // namespace

void scribble() {
	auto pieces = what_is_read();
	std::vector<std::string> saved;
	for ( auto& p : pieces )
		saved.emplace_back(p.at, p.size);
	for ( int i = 0; i < 40; ++i ) {
		const Piece& p = pieces[draw() % pieces.size()];
		uint64_t value = nonsense(pieces);
		size_t width = draw() % 4 ? 8 : 1 + draw() % 8, room = p.size - 8;
		memcpy(p.at + (room ? draw() % (room / 8 + 1) * 8 : 0), &value, width);
		burn(1);
	}
	for ( size_t i = pieces.size(); i-- > 0; )
		memcpy(pieces[i].at, saved[i].data(), pieces[i].size);
}

} // namespace standin
